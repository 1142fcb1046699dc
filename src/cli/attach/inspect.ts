/** What attaching needs to know about a container. */
export interface ContainerInspect {
  Id: string;
  Name: string;
  State: { Running: boolean; Paused: boolean; Restarting: boolean };
  Config: { Tty: boolean; OpenStdin: boolean };
  HostConfig: { AutoRemove: boolean };
}
