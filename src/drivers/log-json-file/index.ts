export { jsonFileReader } from "./reader.ts";
