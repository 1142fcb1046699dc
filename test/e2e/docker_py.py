"""A user's day by docker-py: docker_py.py SOCKET ROOTFS.tar. Asserts, and prints "ok" at the end."""

import sys
import time

import docker

socket, rootfs = sys.argv[1:3]
client = docker.DockerClient(base_url="unix://" + socket, version="auto", timeout=60)
assert client.ping()
assert client.version()["Os"] == "linux"
assert client.info()["Driver"] == "overlay2"

low = client.api
with open(rootfs, "rb") as archive:
    low.import_image_from_data(archive.read(), repository="py", tag="one")
image = client.images.get("py:one")
assert image.tag("py", "two")
assert {"py:one", "py:two"} <= {tag for found in client.images.list() for tag in found.tags}
assert client.images.get("py:two").history()

output = client.containers.run("py:one", ["sh", "-c", "echo out; echo err >&2"], remove=True, stdout=True, stderr=True)
assert sorted(output.split()) == [b"err", b"out"], output
try:
    client.containers.run("py:one", ["sh", "-c", "exit 3"], remove=True)
    raise SystemExit("a failing container must raise")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3
try:
    client.containers.get("py-nothing")
    raise SystemExit("a missing container must raise")
except docker.errors.NotFound:
    pass

container = client.containers.run("py:one", ["sh", "-c", "echo begun; exec sleep 1000"], detach=True, name="py-c", labels={"by": "py"}, mem_limit="64m", environment={"A": "b"})
assert [c.name for c in client.containers.list(filters={"label": "by=py"})] == ["py-c"]
assert container.exec_run("true").exit_code == 0


def executed(script, go):
    """Status and output. The library loses what comes with the answer's head, so the script begins when that was read."""
    begun = low.exec_create(container.id, ["sh", "-c", "until [ -e " + go + " ]; do sleep 0.05; done; " + script])["Id"]
    frames = low.exec_start(begun, stream=True, demux=True)
    low.exec_start(low.exec_create(container.id, ["touch", go])["Id"], detach=True)
    printed = list(frames)
    return low.exec_inspect(begun)["ExitCode"], b"".join(out for out, _ in printed if out), b"".join(err for _, err in printed if err)


outcome = executed("echo $A; exit 4", "/one")
assert outcome == (4, b"b\n", b""), outcome
outcome = executed("echo 1; echo 2 >&2", "/two")
assert outcome == (0, b"1\n", b"2\n"), outcome
assert any("sleep 1000" in " ".join(row) for row in container.top()["Processes"])
assert next(container.logs(stream=True, follow=True)).startswith(b"begun")
container.rename("py-d")
container.restart(timeout=0)
container.reload()
assert container.status == "running" and container.name == "py-d"
since = int(time.time()) - 60
container.stop(timeout=0)
assert container.wait()["StatusCode"] == 137
actions = [e["Action"] for e in client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"container": "py-d", "type": "container"})]
assert "die" in actions and "stop" in actions, actions
container.remove()

saved = b"".join(client.images.get("py:one").save(named=True))
client.images.remove("py:one")
assert client.images.load(saved)[0].tags
client.images.remove("py:one", force=True)
client.images.remove("py:two", force=True)
print("ok")
