/** The forms of HostConfig's namespace modes. */

/** The name or id in "container:NAME"; undefined for other modes. */
export const containerOf = (mode: string): string | undefined => (mode.startsWith("container:") ? mode.slice("container:".length) : undefined);

const PREDEFINED = new Set(["default", "bridge", "host", "none"]);

/** A network that somebody has to have created. */
export const isUserDefined = (networkMode: string): boolean => !PREDEFINED.has(networkMode) && containerOf(networkMode) === undefined;

/** Neither the host's namespace nor another container's. */
export const isPrivate = (mode: string): boolean => mode !== "host" && containerOf(mode) === undefined;

export const isValidIpcMode = (mode: string): boolean => ["", "none", "private", "host", "shareable"].includes(mode) || containerOf(mode) !== undefined;
export const isValidPidMode = (mode: string): boolean => mode === "" || mode === "host" || Boolean(containerOf(mode));
