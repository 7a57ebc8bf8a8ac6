// Writes the phantoms of the study at the paper's size: `make-phantoms.mjs FOLDER whole|small`. A visit starts it first, as
// it needs no GPU and takes a while.

import { paperSizedPhantoms } from "./study.mjs";
import { writePhantomCohort } from "./surface.mjs";

const [folder, size] = process.argv.slice(2);
await writePhantomCohort(folder, paperSizedPhantoms(size === "small"));
