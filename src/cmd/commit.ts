/** The source's commit, which the bundler puts in; what runs from the sources does not know it. */
declare const BUILD_COMMIT: string | undefined;

export const commit = typeof BUILD_COMMIT === "undefined" ? "unknown" : BUILD_COMMIT;
