/** Where the time goes in rows that miss their target, by the row's id; a row that meets it is not mentioned. */
const start = "Of the cycle, the start is two thirds: composing and compiling the configuration in the daemon 1-2 ms, the shim with its namespaces, groups and mounts 4-6 ms, the rest HTTP and SQLite; the wait is the end of the mount namespace. `gantry run --trace` shows one start.";
const clientStart = "Node's own start is 17 ms of it, with its random hash seed left out, and more than the stock client's whole run; the shell that starts it and the program's compiled code are 5 ms, the command 5 ms.";
const log = "The shim's own work is 40 ms a run, the rest the kernel's, mostly for the pages that the file gets: 1.7 times the bytes that were printed. The same run takes 110 to 740 ms of it, by how much of the machine's free memory its host has behind it at that moment.";
const list = "A kept answer costs the daemon nothing but the connection and the copy into the socket; a server of node:http that answers with constant bytes of this length takes four fifths of the time, and the measuring client's share is on the same two CPUs.";

export const explanations: Record<string, string> = {
  "1a": start,
  "1b": start,
  "1c": `${start} The peer spends its time on networks, which this row has none of.`,
  "3": clientStart,
  "4": "The daemon's one thread and the kernel share two CPUs with the measuring client.",
  "5": "Attaching a port to the bridge, reading the mount table and /sys grow with what runs.",
  "6": "The shims are 52 KB of private memory each; the rest is the daemon's heap; at rest it collects its garbage and gives memory back.",
  "7": "The shim answers in 1 ms; joining the groups, three HTTP requests and the hijacked connection are the rest.",
  "8a": "The command, the shim and the container's program are three programs to execute, the rest is the kernel's work for namespaces, groups and mounts.",
  "8b": "Executing the container's program and the kernel's work for its namespaces, groups and mounts are nearly all of it.",
  "11a": log,
  "11c": log,
  "12a": list,
  "12b": list,
  "12c": "The 99th percentile is the garbage collector's and the machine's; the median is below a third of the peer's.",
  "15a": "Node's own start is 22 ms of it; loading the program and Node's modules (crypto alone 6) 25, making the database 7, trying overlay mounts 10, bridge and firewall 25, half of which the kernel waits for itself. The table of targets has 788 ms for dockerd 29 with its containerd, where this is below the target.",
  "15b": "At rest the daemon gives back garbage and unused pages of Node's program; the peer of the table of targets, dockerd 29, has 162 MB.",
  "15c": "Compiling plans and answering creations run on the event loop between pings.",
  "16a": clientStart,
  "16b": clientStart,
  "17": "Removing the folders of layers and the groups is the kernel's work; two CPUs are busy with it.",
};
