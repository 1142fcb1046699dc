/** Where the time goes in rows that miss their target, by the row's id; a row that meets it is not mentioned. */
const start = "About one millisecond is the disk's: the create is answered when it would survive a loss of power, after one flush of the database's log and of the folders that its rows speak of. The rest: half of it is the daemon's own thread: four HTTP requests, a configuration composed, compiled and encoded, five commits to SQLite, a dozen files and folders. The other half is the kernel's work for the shim and the container: groups in ten hierarchies, namespaces, the overlay, two dozen mounts, the program. `gantry run --trace` shows one start.";
const exec = "The shim's and the program's part is half of the processor time, most of it two forks, an execve, a seccomp filter and ten groups to join; three HTTP requests on two connections, one of them hijacked, are the other half.";
const clientStart = "Node's own start is 17 ms of it, with its random hash seed left out, and more than the stock client's whole run; the shell that starts it and the program's compiled code are 5 ms, the command 5 ms.";
const log = "The shim's own work is 40 ms a run, the rest the kernel's, mostly for the pages that the file gets: 1.7 times the bytes that were printed. The same run takes 110 to 740 ms of it, by how much of the machine's free memory its host has behind it at that moment.";
const list = "A kept answer costs the daemon the connection and the copy into the socket, most of it in the kernel: 0.15 to 0.2 ms of processor time, eight of which wait for each other; a bare server of node:http that answers with constant bytes of this length takes 0.08.";

const packet = "Each packet of a container meets two tables that the path by hand does not have: who it may say it is, and whom it may reach. What is established costs one lookup in each (two in the second for what comes from outside), a dozen comparisons and a mark: 0.3 to 0.5 microseconds a packet. The server is a container: its seccomp filter and its own groups are 0.4 of an exchange. Together that is 1 to 1.4 microseconds of the 10 that an exchange takes of one processor, and of the 100 that it takes of two that wake each other. A flow table would spare the packets both tables, and with them the administrator's own rules, which have the last word, so there is none.";
const hundredPorts = "Most of it is a start without ports. A hundred sockets are bound by one call, a hundred elements of the firewall's map made by another: together two milliseconds of processor time, on threads of their own.";

export const explanations: Record<string, string> = {
  "1a": start,
  "1b": start,
  "1c": `${start} The peer spends its time on networks, which this row has none of.`,
  "3": clientStart,
  "4": "A start takes some ten milliseconds of processor time, half of it the kernel's; the daemon's one thread, the shims and the measuring client share two CPUs.",
  "5": "Inside the kernel: a cpuset group, mounting /sys, and the walk over all processes that pivot_root makes grow with what runs; and so does a port of a bridge, whose coming and going takes 1 ms of processor time beside 10 ports, and 8 beside 950: each time the kernel walks all ports of the bridge a dozen times, and the multicast routes of all interfaces. Without IPv6 at the host's ends the latter 1.3 ms were spared, but the switch for it is tried again and again until the kernel's network lock is free, which takes twice of all of it where several start at once.",
  "6": "The shims are 52 KB of private memory each; the rest is the daemon's heap; at rest it collects its garbage and gives memory back.",
  "7a": exec,
  "7b": `${exec} Half of this row's time is caches that the peer has filled: the same instructions take one and a half times the processor time that they take in row 7a, and each of the dozen hops between client, daemon, shim and program wakes a processor.`,
  "8a": "The command, the shim and the container's program are three programs to execute, the rest is the kernel's work for namespaces, groups and mounts.",
  "8b": "Executing the container's program and the kernel's work for its namespaces, groups and mounts are nearly all of it.",
  "9b": "The registry serves the same bytes on the same two CPUs, and each is hashed twice, as part of the blob and of the layer, which gzip and tar do not do.",
  "11a": log,
  "11c": log,
  "12a": list,
  "12b": list,
  "12c": "The request, a commit to the database, a line of the journal and twenty writes, one connection after the other, are 0.4 ms of the daemon's one thread. A collection of garbage (3 to 7 ms) comes once in four hundred events.",
  "13a": hundredPorts,
  "13b": hundredPorts,
  "13c": "Two thirds are the kernel's time for 10,000 sockets, one of each family for a port: 35 ms to make and bind them, and 20 ms until 5,000 of them listen in gantry-relay, which serves IPv6 where the container has none. Everything else has them as one run.",
  "13d": "1.5 MB are gantry-relay's, 300 bytes for each port that it serves; the rest is the daemon's heap, which holds the settings of the container.",
  "14c": "Samples of one run differ by half, of both paths: the brackets overlap, and the run before had 0.98. What each packet meets is as in row 14f.",
  "14d": packet,
  "14e": packet,
  "14f": packet,
  "15a": "Node's own start is 22 ms of it; then the compiled program is read (7), node:http loaded (3), settings, signals, locks and sockets made (10). What a list needs comes behind that: the rest of the program 5, the database 2, node:crypto 4, bridge and firewall 15, half of which the kernel waits for itself.",
  "15b": "At rest the daemon gives back garbage and unused pages of Node's program; the peer of the table of targets, dockerd 29, has 162 MB.",
  "15c": "Requests of the other eight clients that are ready at once are answered before the ping, a millisecond or two each. Collections of garbage are a hundredth of the time, and fewer pings than one in a hundred meet one; other sizes of V8's young generation change nothing. What waits for the disk is off the daemon's thread but for making folders, which the file system delays while images are written.",
  "16a": clientStart,
  "16b": clientStart,
  "17": "Ending processes, and taking apart their mounts and groups, is the kernel's work; two CPUs are busy with it.",
  "18b": "It takes what GET /_ping takes, the request and its answer as such: 0.1 ms of processor time.",
  "21b": "Its layers are not compressed, and each byte of them is written twice: into the blob, which pushes and saves need, and into the files. The peer keeps the files only.",
  "28a": "The daemon's part is 0.13 s of processor time: the pages of the file go into the connection as they are. The rest is the measuring client's, which reads them.",
  "28b": "Seven tenths of the daemon's time, all of it the kernel's, is the copy into the pages that the file gets; the measuring client's reading and sending is as much again.",
};
