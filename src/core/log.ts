/** What this build has besides json-file, local and none: each sends the log on, and keeps a record of it here. */
export const REMOTE_LOG_DRIVERS: readonly string[] = ["awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog"];
export const LOG_DRIVERS: readonly string[] = [...REMOTE_LOG_DRIVERS, "json-file", "local"].sort();

/**
 * Reading a container's log. The shim is the only writer; readers follow the files. What a reader yields is ready for a
 * client: Docker's multiplexed frames, or with a terminal the plain text.
 */
export interface LogReader {
  /**
   * Resolves when the files are open: from then on they may be removed. What it resolves with has to be iterated; it yields chunks in order
   * until the end of the log; with `follow`, until `ended` has settled and everything was read, or the signal aborts.
   */
  read(source: LogSource, options: LogOptions): Promise<AsyncIterable<Buffer>>;
}

/** Compresses the files of a log that are rotated away, for as long as it is written. */
export interface LogCompressor {
  /** As long as `wanted` says so; asked each time. */
  watch(source: LogSource, wanted?: () => boolean): void;
}

export interface LogSource {
  /** The file being written; older ones are path.1 (youngest) to path.N, each as it is or compressed (path.N.gz). */
  path: string;
  /** Settles when nothing more will be written: the container has ended. Only used with `follow`. */
  ended: Promise<unknown>;
}

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  /** Nanoseconds since 1970. */
  since?: bigint;
  until?: bigint;
  /** The last so many records; undefined: all. */
  tail?: number;
  follow: boolean;
  timestamps: boolean;
  details: boolean;
  /** Multiplexed frames; false with a terminal. */
  frames: boolean;
  signal: AbortSignal;
}
