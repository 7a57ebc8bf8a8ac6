import type { Ranks } from "../../dist/native/ranks.js";
import type { Setting, Trained } from "./start-ranks.mjs";

export function trainedOn(setting: Setting, ranks?: Ranks | null, device?: string): Promise<Trained>;
export function differences(a: Trained, b: Trained): Record<string, number>;
