import type { ErrorCode } from "../common/errors.js";
import type { Damage } from "../common/set-aside.js";
import type { OpenImageOptions } from "./image.js";
import type { CaseToPrepare, PreparedCase, PreprocessOptions } from "./preprocess.js";

/** To a process that helps to prepare a cohort. */
export type ToHelper =
  | { kind: "open"; options: PreprocessOptions; cache: string; images: OpenImageOptions }
  | { kind: "prepare"; one: CaseToPrepare };

/** What it answers to a case. */
export type HelperAnswer =
  | { kind: "prepared"; one: PreparedCase }
  | { kind: "refused"; file: string; reason: string }
  | { kind: "failed"; code: ErrorCode | null; message: string };

export type FromHelper = HelperAnswer | { kind: "damage"; damage: Damage };
