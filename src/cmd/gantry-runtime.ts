/** The OCI runtime's entry point. */
import { main } from "../oci/cli/main.ts";
import manifest from "../../package.json" with { type: "json" };

void main(process.argv.slice(2), manifest.version).then((status) => (process.exitCode = status));
