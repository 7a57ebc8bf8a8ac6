import { Option } from "commander";

/** `--devices`, as every command has it that lays out a study. */
export const devicesOption = (): Option =>
  new Option(
    "--devices <list>",
    "devices that cells are handed out to, such as cuda:0,cuda:1, instead of the study's",
  ).argParser((list: string) => list.split(",").map((device) => device.trim()));
