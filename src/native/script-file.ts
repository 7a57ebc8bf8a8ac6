import { createHash } from "node:crypto";
import { TransferLimitsError } from "../common/errors.js";
import { readRegularFile } from "../common/regular-file.js";
import type { EncoderSpec, NetworkSpec } from "./network-spec.js";

/** LibTorch's own files of 16 GB of weights are none that anyone fine-tunes here; Node's buffers end at 4 GiB. */
const largest = 4 * 1024 ** 3 - 4096;

/**
 * A network's specification as the addon takes it: a TorchScript encoder with the bytes of its file, which are read once,
 * so that what was hashed is what is loaded.
 *
 * @param drawn its weights are drawn anew in place of the file's
 * @throws `BAD_CHECKPOINT` where the file cannot be read, or has another SHA-256 than is trusted
 */
export async function nativeSpec(spec: NetworkSpec, drawn: boolean): Promise<object> {
  // Of scripts without types it may be anything, which the addon then refuses.
  const encoder = (spec as { encoder?: EncoderSpec | null } | null | undefined)?.encoder;
  if (encoder === null || typeof encoder !== "object" || !("file" in encoder)) return spec;
  const { file, trust } = encoder;
  const sha256 = String(encoder.sha256).toLowerCase();
  // Whatever came this far without a schema's check.
  if (trust !== true) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected trust: true for the TorchScript module ${file}, which runs code, but received ${String(trust)}. Say it where ` +
        "you trust the file with the SHA-256 that stands beside it",
    );
  }
  let bytes: Buffer;
  try {
    bytes = await readRegularFile(file, largest);
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    const reason = (error as NodeJS.ErrnoException).code === "ENOENT" ? "there is none" : String(error);
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected a TorchScript file at ${file} but ${reason}. Set encoder.file to where torch.jit.save wrote it`,
      { cause: error },
    );
  }
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== sha256) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `The TorchScript module ${file} is not loaded: expected the file with SHA-256 ${sha256}, which is trusted, but its ` +
        `SHA-256 is ${found}. Put the trusted file back; or, if you trust this one, set encoder.sha256 to what it is now`,
    );
  }
  return {
    ...spec,
    encoder: { ...encoder, bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), drawn },
  };
}
