/** Checkpoints by Debian's criu on a kernel that it knows, which tracks what memory changes. */
import "../runtime/checkpoint-memory.test.ts";
