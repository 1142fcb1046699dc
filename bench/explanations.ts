/** Where the time goes in rows that miss their target, by the row's id; a row that meets it is not mentioned. */
const start = "Of the cycle, the start is two thirds: composing and compiling the configuration in the daemon 1-2 ms, the shim with its namespaces, groups and mounts 4-6 ms, the rest HTTP and SQLite; the wait is the end of the mount namespace. `gantry run --trace` shows one start.";
const nodeStart = "Node's own start is 21-27 ms of it, more than the stock client's whole run.";

export const explanations: Record<string, string> = {
  "1a": start,
  "1b": start,
  "1c": `${start} The peer spends its time on networks, which this row has none of.`,
  "3": nodeStart,
  "4": "The daemon's one thread and the kernel share two CPUs with the measuring client.",
  "5": "Attaching a port to the bridge, reading the mount table and /sys grow with what runs.",
  "6": "The shims are 52 KB of private memory each; most of the rest is the daemon's heap, which grows by its young generation under load and is not given back at once.",
  "7": "The shim answers in 1 ms; joining the groups, three HTTP requests and the hijacked connection are the rest.",
  "8a": "The command, the shim and the container's program are three programs to execute, the rest is the kernel's work for namespaces, groups and mounts.",
  "8b": "Executing the container's program and the kernel's work for its namespaces, groups and mounts are nearly all of it.",
  "11a": "Nine tenths of the shim's time are the kernel's copy into the page cache, of 1.7 times the bytes that were printed.",
  "11c": "Nine tenths of the shim's time are the kernel's copy into the page cache, of 1.7 times the bytes that were printed.",
  "12a": "The daemon joins the rows anew for each answer, and the measuring client reads on the same two CPUs.",
  "12b": "The daemon joins the rows anew for each answer, and the measuring client reads on the same two CPUs.",
  "12c": "The 99th percentile is the garbage collector's and the machine's; the median is below a third of the peer's.",
  "15a": `${nodeStart} Opening the database, finding the machine's features, the bridge and the firewall are the rest.`,
  "15b": "36 MB are pages of the Node program itself, which several Gantry processes share and this row counts in full.",
  "15c": "Compiling plans and answering creations run on the event loop between pings.",
  "16a": nodeStart,
  "16b": nodeStart,
  "17": "Removing the folders of layers and the groups is the kernel's work; two CPUs are busy with it.",
};
