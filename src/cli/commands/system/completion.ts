import type { Session } from "../../session.ts";

/** The shells' scripts ask the hidden command __complete. */
const SCRIPTS: Record<string, (program: string) => string> = {
  bash: (program) => `# bash completion for ${program}: source <(${program} completion bash)
_${program}_complete() {
  local IFS=$'\\n' line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <("\${COMP_WORDS[0]}" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _${program}_complete ${program}
`,
  zsh: (program) => `#compdef ${program}
# zsh completion for ${program}: source <(${program} completion zsh)
_${program}() {
  local -a found
  local line
  while IFS= read -r line; do
    found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe '${program}' found || _files
}
compdef _${program} ${program}
`,
  fish: (program) => `# fish completion for ${program}: ${program} completion fish | source
function __${program}_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c ${program} -a '(__${program}_complete)'
`,
};

export function run(session: Session): void {
  const shell = session.called.split(" ").at(-1) as string;
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (!script) throw new Error(`${session.called}: there is no completion for ${shell} yet`);
  session.out.write(script(session.program));
}
