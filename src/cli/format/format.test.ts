import assert from "node:assert/strict";
import { test } from "node:test";
import { containerFormat, CONTAINER_KIND, containerRow, portsText } from "./container.ts";
import type { ContainerSummary } from "./container.ts";
import { imageRows, imageFormat, IMAGE_KIND } from "./image.ts";
import { imageTree } from "./image-tree.ts";
import { formatRows } from "./rows.ts";
import { alignTabs } from "./tabwriter.ts";
import { ellipsis, shortId } from "./text.ts";

test("columns are blocks of neighbouring lines", () => {
  assert.equal(alignTabs("A\tBB\tC\nlonger than ten\tx\ty\n", { minWidth: 10, padding: 3 }), "A                 BB        C\nlonger than ten   x         y\n");
  assert.equal(alignTabs("a\tb\nno tab\nlonger\tc\n", { minWidth: 1, padding: 1 }), "a b\nno tab\nlonger c\n");
  assert.equal(alignTabs("…\tx\n", { minWidth: 3, padding: 1 }), "…  x\n");
});

const container: ContainerSummary = {
  Id: "0123456789abcdef0123", Names: ["/other/alias", "/web"], Image: "docker.io/library/nginx:1@sha256:" + "a".repeat(64), ImageID: "sha256:feed", Command: "sh -c 'sleep 1000000'",
  Created: Math.trunc(Date.now() / 1000) - 3600, Ports: [{ PrivatePort: 80, Type: "tcp", IP: "0.0.0.0", PublicPort: 80 }], Labels: { b: "2", "com.x.tier-one": "1" }, State: "running", Status: "Up 5 minutes (healthy)",
  SizeRw: 1500, SizeRootFs: 4_270_000, Mounts: [{ Name: "data-volume-with-a-long-name", Driver: "local" }, { Source: "/srv" }], NetworkSettings: { Networks: { bridge: {} } },
};

test("a container's row", () => {
  const show = (format: string, truncate = true): string => formatRows(format, CONTAINER_KIND, [containerRow(container, truncate)]);
  assert.equal(show("{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.RunningFor}}"), '0123456789ab web nginx:1 "sh -c \'sleep 100000…" About an hour ago\n');
  assert.equal(show("{{.ID}} {{.Names}}", false), "0123456789abcdef0123 other/alias,web\n");
  assert.equal(show("{{.Ports}} {{.Size}} {{.HealthStatus}} {{.LocalVolumes}} {{.Mounts}}"), "0.0.0.0:80->80/tcp 1.5kB (virtual 4.27MB) healthy 1 data-volume-wi…,/srv\n");
  assert.equal(show('{{.Labels}} {{.Label "b"}} {{.Label "no"}}'), "b=2,com.x.tier-one=1 2 \n");
  assert.equal(show('table {{.ID}}\\t{{.Label "com.x.tier-one"}}\\t{{upper .State}}'), "CONTAINER ID   tier one   STATE\n0123456789ab   1          RUNNING\n");
  assert.match(show("json"), /"Ports":"0\.0\.0\.0:80-\\u003e80\/tcp"/);
  assert.throws(() => show("{{.Nosuch}}"), { message: 'template parsing error: template: :1:2: executing "" at <.Nosuch>: can\'t evaluate field Nosuch in type *formatter.ContainerContext' });
});

test("the list of containers has headings even when it is empty", () => {
  assert.equal(formatRows(containerFormat("", { quiet: false, size: true }), CONTAINER_KIND, []), "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES     SIZE\n");
  assert.equal(formatRows(containerFormat("", { quiet: true, size: false }), CONTAINER_KIND, [containerRow(container, true)]), "0123456789ab\n");
});

test("ports are joined to ranges", () => {
  const port = (PrivatePort: number, more: object = {}): { PrivatePort: number; Type: string } => ({ PrivatePort, Type: "tcp", ...more });
  assert.equal(portsText([port(81), port(80), port(90)]), "80-81/tcp, 90/tcp");
  assert.equal(portsText([port(80, { IP: "::", PublicPort: 8080 }), port(80, { IP: "0.0.0.0", PublicPort: 8080 })]), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
  assert.equal(portsText([port(70, { IP: "0.0.0.0", PublicPort: 70 }), port(71, { IP: "0.0.0.0", PublicPort: 71 })]), "0.0.0.0:70-71->70-71/tcp");
});

const image = { Id: "sha256:0123456789abcdef", RepoTags: ["busybox:1", "busybox:2", "host:5000/x:y"], RepoDigests: [`busybox@sha256:${"b".repeat(64)}`], Created: 0, Size: 4_270_000, SharedSize: -1, Containers: -1, Labels: null };

test("images have a row for each tag", () => {
  const rows = imageRows([image, { ...image, RepoTags: [], RepoDigests: [] }], { truncate: true, digests: false });
  assert.equal(formatRows("{{.Repository}}:{{.Tag}} {{.Size}} {{.SharedSize}}", IMAGE_KIND, rows), "busybox:1 4.27MB N/A\nbusybox:2 4.27MB N/A\nhost:5000/x:y 4.27MB N/A\n<none>:<none> 4.27MB N/A\n");
  assert.equal(formatRows(imageFormat("", { quiet: true, digests: false }), IMAGE_KIND, rows.slice(0, 1)), "0123456789ab\n");
});

test("images as a tree", () => {
  assert.equal(imageTree([image], { expanded: false, width: 0 }).split("\n")[0], "IMAGE           ID             DISK USAGE   CONTENT SIZE   EXTRA");
  assert.match(imageTree([{ ...image, RepoTags: null }], { expanded: false, width: 0 }), /^<untagged>/m);
});

test("ids and texts are cut", () => {
  assert.equal(shortId("sha256:0123456789abcdef"), "0123456789ab");
  assert.equal(ellipsis("abcdef", 4), "abc…");
  assert.equal(ellipsis("abc", 4), "abc");
});
