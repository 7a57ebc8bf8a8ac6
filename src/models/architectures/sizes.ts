import { z } from "zod";

/** A number of channels, features, blocks and the like. */
export const size = z.int().min(1).max(65_536);

/** One for each of four stages. */
export const four = z.tuple([size, size, size, size]);

/** How many resolutions a U-Net has. */
export const levels = z.int().min(2).max(8);
