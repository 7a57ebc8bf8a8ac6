// What the visit uses of the package, without its reports and their libraries, which aren't packed.
export { writePhantomCohort } from "../../dist/cohort/phantom.js";
export { Network } from "../../dist/models/network.js";
export { Tensor } from "../../dist/native/tensor.js";
export { Trainer } from "../../dist/native/trainer.js";
export { planStudy } from "../../dist/study/plan/load-study.js";
export { runStudy } from "../../dist/study/run/run.js";
