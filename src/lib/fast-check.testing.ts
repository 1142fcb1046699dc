/** fast-check with one seed for every run: what fails has to do with the code, never with chance. GANTRY_SEED tries another. */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env["GANTRY_SEED"] ?? 1) });

export { fc };
