import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";

/** Of a container that was created and never started. */
export const createdRecord = (change: Partial<ContainerRecord> & Pick<ContainerRecord, "id" | "name">): ContainerRecord => ({
  createdAt: 1n,
  imageId: "sha256:0",
  imageRef: "image",
  config: emptyConfig(),
  hostConfig: emptyHostConfig(),
  networkingConfig: { EndpointsConfig: null },
  storageDriver: "vfs",
  mounts: [],
  state: { status: "created" },
  restartCount: 0,
  stoppedByUser: false,
  ...change,
});
