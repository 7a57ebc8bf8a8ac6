// Whether the addon starts and sees the device: `starts.mjs DEVICE`.
import { buildInfo } from "../../dist/native/runtime.js";

const [device] = process.argv.slice(2);
const { libtorch, devices } = buildInfo();
const seen = devices.map(({ id }) => id);
process.stdout.write(`${JSON.stringify({ libtorch, devices: seen })}\n`);
if (device !== "cpu" && !seen.includes(device)) {
  console.error(`The addon sees ${seen.join(", ") || "no device"}, not ${device}`);
  process.exitCode = 1;
}
