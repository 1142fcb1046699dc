/** moby's own integration suite: how far it passes, and why not further; a part of docs/compatibility.md. */

/** Packages about containers and the daemon: tests that pass here, of those that pass with dockerd. */
export const MOBY_PACKAGES: readonly (readonly [name: string, here: number, original: number])[] = [
  ["capabilities", 0, 1],
  ["config", 0, 6],
  ["container", 156, 166],
  ["daemon", 8, 16],
  ["image", 40, 44],
  ["plugin.authz", 12, 12],
  ["session", 2, 2],
  ["system", 17, 19],
  ["volume", 8, 11],
];

export const MOBY_EXCEPTIONS: readonly (readonly [tests: string, reason: string])[] = [
  ["container: TestRestartDaemonWithRestartingContainer, TestHardRestartWhenContainerIsRunning", "they write dockerd's private config.v2.json; here containers are rows of a database"],
  ["container: TestRunWithAlternativeContainerdShim, TestContainerdContainerImageInfo", "they speak to containerd, or name a shim of its own"],
  ["container: TestAttachDisconnectLeak", "it counts the goroutines of a program in Go"],
  ["container: TestContainerKillOnDaemonStart, TestNetworkStateCleanupOnDaemonStart, TestRemoveDeadContainersOnDaemonRestart, TestDaemonRestartKillContainers", "containers outlive the daemon unless it is told otherwise; with `--live-restore=false`, dockerd's default, they pass, and are counted so"],
  ["daemon: TestDefaultStorageDriver, TestGraphDriverPersistence, TestInspectGraphDriverAPIBC, TestMigrateOverlaySnapshotter, TestMigrateNativeSnapshotter, TestMigrateSaveLoad", "they look at dockerd's two image stores and the way from the one to the other; here is one"],
  ["daemon: TestDaemonDefaultBridgeIPAM_Docker0", "a bridge docker0 that another program made is left to that program"],
  ["daemon: TestDaemonDefaultBridgeIPAM_UserBr", "passes when the daemon refuses its configuration before the first ping is answered, which is not promised"],
  ["system: TestInfoAPIWarnings", "the API is not served to a whole network without TLS unless `--tls=false` says so"],
  ["config: all; system: TestPingSwarmHeader; volume: TestVolumesRemoveSwarmEnabled; daemon: TestSwarmNoNftables", "there is no swarm yet"],
  [
    "capabilities: TestNoNewPrivileges; container: TestCopyFromContainer, TestCopyToContainerCopyUIDGID, TestCopyToContainerXZBinaryNotExecutedOnDaemon, TestCopyWithAbsoluteSymlinkedMountTarget, TestExecUser; image: TestAPIImageHistoryCrossPlatform, TestAPIImagesDelete, TestAPIImagesHistory, TestSaveDirectoryPermissions; volume: TestRunMountImage, TestVolumePruneAnonFromImage",
    "they build images, which is not there yet",
  ],
];
