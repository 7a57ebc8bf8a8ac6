/**
 * The hash that fills the inputs and parameters of the golden numbers (shared/parity/README.md), which tell that it is
 * the same. Also a good source of irregular numbers for a test that needs some.
 */
export { hashFill } from "../dist/bench/hash-fill.js";
