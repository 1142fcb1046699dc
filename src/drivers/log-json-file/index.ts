export { jsonFileCompressor } from "./compress.ts";
export { jsonFileReader } from "./reader.ts";
