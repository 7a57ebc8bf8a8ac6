import type { LockedWheel, WheelLock } from "./lock.js";
import { pipTarget } from "./pip-target.js";
import { lastLines, run } from "./python.js";

/** How a download went on: to its end; not to it, for this reason; or this pip cannot be asked, or the index is a folder. */
export type Resumed = { kind: "done" } | { kind: "failed"; reason: string } | { kind: "unable" };

/**
 * Goes on with a wheel's download where an earlier one broke off, in this process or another: `path` holds what was
 * brought so far. pip itself begins anew each time, so it is only asked where the wheel lies, and by its own session
 * (proxies, certificates, passwords). Nothing is checked here: the SHA-256 of the whole is.
 */
export async function resumeDownload(
  wheel: LockedWheel,
  lock: WheelLock,
  path: string,
  environment: NodeJS.ProcessEnv,
): Promise<Resumed> {
  const words = [wheel.name, wheel.version, wheel.sha256, String(wheel.bytes), path, ...pipTarget(lock)];
  const { code, stderr } = await run("python3", ["-c", script, ...words], environment);
  if (code === 0) return { kind: "done" };
  return code === unable ? { kind: "unable" } : { kind: "failed", reason: lastLines(stderr, 3) };
}

/** The script's exit status where it can do nothing. */
const unable = 3;

// pip's insides are no promise: whatever fails before the first byte is asked for means that pip is left to do it alone.
const script = `
import os, sys, time
name, version, sha256, size, path = sys.argv[1:6]
size, parent = int(size), os.getppid()
try:
    from pip._internal.cli import cmdoptions
    from pip._internal.commands import create_command
    from pip._internal.utils.hashes import Hashes
    from pip._vendor.packaging.specifiers import SpecifierSet
    command = create_command("download")
    options, _ = command.parse_args(["--quiet", "--no-cache-dir", "--no-input", "--retries", "2", *sys.argv[6:], name])
    with command.main_context():
        session = command.get_default_session(options)
        target = cmdoptions.make_target_python(options)
        finder = command._build_package_finder(options=options, session=session, target_python=target)
        hashes = Hashes({"sha256": [sha256]})
        best = finder.find_best_candidate(name, specifier=SpecifierSet("==" + version), hashes=hashes).best_candidate
        url = best.link.url_without_fragment
        if not url.startswith(("http://", "https://")):
            raise ValueError(url)
except BaseException as error:
    print(repr(error), file=sys.stderr)
    sys.exit(${unable})

# As long as each try brings something, or for five that bring nothing.
fruitless, reason = 0, "nothing came"
while fruitless < 5:
    have = os.path.getsize(path) if os.path.exists(path) else 0
    if have >= size:
        sys.exit(0)
    try:
        headers = {"Accept-Encoding": "identity", "Range": "bytes=%d-" % have}
        answer = session.get(url, headers=headers, stream=True, timeout=60)
        answer.raise_for_status()
        goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith("bytes %d-" % have)
        with open(path, "ab" if goes_on else "wb") as sink:
            for piece in answer.iter_content(1 << 20):
                # Whoever started this was killed: the next run must be the only one that writes.
                if os.getppid() != parent:
                    sys.exit(1)
                sink.write(piece)
        reason = "the connection was closed"
    except Exception as error:
        reason = str(error)
    more = os.path.exists(path) and os.path.getsize(path) > have
    fruitless = 0 if more else fruitless + 1
    if not more:
        time.sleep(0.5 * 2 ** fruitless)
print("%s: %s" % (url, reason), file=sys.stderr)
sys.exit(1)
`;
