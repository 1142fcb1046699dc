/** What ps prints for the arguments that `docker top` takes; the processes are the container's, whatever these select. */
import { invalidParameter, systemError } from "../../../lib/errors.ts";
import { columns, type Column } from "./columns.ts";

const named = (text: string): Column[] => text.split(" ").map((name) => columns.get(name) as Column);
const retitled = (name: string, title: string): Column => ({ ...(columns.get(name) as Column), title });

const plain = named("pid tty time cmd");
const full = [retitled("user", "UID"), ...named("ppid").toSpliced(0, 0, columns.get("pid") as Column), ...named("c stime tty time cmd")];
const userOriented = [...named("user pid %cpu %mem vsz rss tty stat"), ...named("bsdstart bsdtime args")];

/** Letters that choose processes or widths: without effect here. */
const selecting = /^[eAaxdTNw]$/;

/** The columns for ps arguments such as "-ef", "aux", "-o pid,comm". Errors are ps's kind, status 500 as Docker answers. */
export function parsePsArguments(words: readonly string[]): Column[] {
  let format: Column[] | undefined;
  let layout = plain;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    if (word.startsWith("--")) {
      const [name, value] = word.split("=", 2) as [string, string | undefined];
      if (name === "--format") format = [...(format ?? []), ...parseFormat(value ?? words[++index])];
      else throw unsupported(word);
      continue;
    }
    const dashed = word.startsWith("-");
    const letters = dashed ? word.slice(1) : word;
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] as string;
      if (letter === "o") {
        const rest = letters.slice(at + 1);
        format = [...(format ?? []), ...parseFormat(rest === "" ? words[++index] : rest)];
        break;
      }
      if (letter === "f" && dashed) layout = full;
      else if (letter === "u") layout = userOriented;
      else if (!selecting.test(letter)) throw unsupported(word);
    }
  }
  const chosen = format ?? layout;
  if (!chosen.some((column) => column.title === "PID")) throw systemError("Couldn't find PID field in ps output");
  return chosen;
}

function parseFormat(text: string | undefined): Column[] {
  if (text === undefined || text === "") throw systemError("ps: error: format specification must follow -o");
  return text.split(/[ ,]+/).map((entry) => {
    const [name = "", title] = entry.split("=", 2);
    const column = columns.get(name.toLowerCase());
    if (!column) throw systemError(`ps: error: unknown user-defined format specifier "${name}"`);
    if (title !== undefined && title.toUpperCase().startsWith("PID") && name !== "pid") throw invalidParameter(`specifying "${name}=${title}" is not allowed`);
    return title ? { ...column, title } : column;
  });
}

const unsupported = (word: string): Error => systemError(`ps: error: the option ${word} is not supported; use -e, -f, -o, a, u, x and --format`);
