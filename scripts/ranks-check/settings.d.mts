import type { EncoderSpec } from "../../dist/native/network-spec.js";
import type { Setting } from "./start-ranks.mjs";

export function everySetting(script?: EncoderSpec): (Setting & { family: string; task: string })[];
