/** checkpoint and restore by Debian's criu on a kernel that it knows, which tracks what memory changes. */
import "../runtime/checkpoint.test.ts";
