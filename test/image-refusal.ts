import { expect } from "vitest";
import { type ReadOptions, readImage } from "../dist/cohort/image.js";
import { inspectImage } from "../dist/cohort/inspect-image.js";

/** What reading and inspecting an image say of it, which both refuse in the same words. */
export async function refusal(path: string, options: ReadOptions = {}): Promise<string> {
  const messages: string[] = [];
  for (const read of [readImage, inspectImage]) {
    const error = await read(path, options).then(
      () => expect.unreachable(`${path} was read`),
      (reason: unknown) => reason as Error & { code: string },
    );
    expect(error.code, String(error.stack)).toBe("BAD_IMAGE");
    messages.push(error.message);
  }
  expect(messages[1]).toBe(messages[0]);
  return messages[0] as string;
}
