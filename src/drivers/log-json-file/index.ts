export { jsonFileCompressor } from "./compress.ts";
export { jsonFileReader } from "./reader.ts";
export { LogForward } from "./forward.ts";
export { readPosition } from "./position.ts";
