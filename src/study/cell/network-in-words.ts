import type { NetworkSpec } from "../../native/network-spec.js";

/** Words for a network: its encoder with its head, or its family. */
export const networkInWords = (spec: NetworkSpec): string =>
  "model" in spec ? spec.model.family : `${spec.encoder.family}${spec.head ? ` + ${spec.head.kind}` : ""}`;
