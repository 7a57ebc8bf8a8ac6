/**
 * Names under which training programs wrap a network, or any part of it: DataParallel and DDP, torch.compile,
 * checkpointing of activations, FSDP (PyTorch's and FairScale's), DeepSpeed. No network has parts of these names.
 */
const anywhere = new Set([
  "module",
  "_orig_mod",
  "_checkpoint_wrapped_module",
  "_fsdp_wrapped_module",
  "_fpw_module",
  "_forward_module",
]);

/** What names may begin with where a training program holds the network as one of its parts. */
const first = new Set(["model", "net", "network", "student", "teacher"]);

/** More wrappers around one network are a name that was made to keep us busy. */
const mostWrappers = 8;

export interface Unwrapped {
  /** What most of the names begin with, of what was taken away. */
  prefix: string;
  /** Everything that was taken away, each once, in the order in which it is met. */
  wrappers: string[];
  /** The names without wrappers, by the names in the file. */
  inner: ReadonlyMap<string, string>;
}

const known = new WeakMap<readonly string[], Unwrapped>();

/** Takes the names of wrappers out of a file's names. Each name is looked at by itself: a file may have several kinds. */
export function unwrap(names: readonly string[]): Unwrapped {
  const found = known.get(names);
  if (found) return found;
  const wrappers = new Set<string>();
  const prefixes = new Map<string, number>();
  const inner = new Map<string, string>();
  for (const name of names) {
    const parts = name.split(".");
    let start = 0;
    while (start < parts.length - 1 && start < mostWrappers && isOutermost(parts[start] as string)) start++;
    const kept = parts
      .slice(start)
      .filter((part, index, rest) => index === rest.length - 1 || !anywhere.has(part));
    for (const part of [
      ...parts.slice(0, start),
      ...parts.slice(start, -1).filter((one) => anywhere.has(one)),
    ])
      wrappers.add(`${part}.`);
    const prefix = parts.slice(0, start).join(".");
    prefixes.set(prefix, (prefixes.get(prefix) ?? 0) + 1);
    inner.set(name, kept.join("."));
  }
  const [prefix = ""] = [...prefixes].find(([, count]) => count * 2 > names.length) ?? [];
  const unwrapped = { prefix: prefix === "" ? "" : `${prefix}.`, wrappers: [...wrappers], inner };
  known.set(names, unwrapped);
  return unwrapped;
}

const isOutermost = (part: string): boolean => anywhere.has(part) || first.has(part);
