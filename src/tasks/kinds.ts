// Every kind of task, a line each. Everything that goes by kind is made of these: the schema of study files, labels, metrics
// and their margins, specialised models, what is planned with, and the tables of the documentation.
export { classificationTask } from "./classification.js";
export { denoisingTask } from "./denoising.js";
export { detectionTask } from "./detection.js";
export { distortionCorrectionTask } from "./distortion-correction.js";
export { lesionSegmentationTask } from "./lesion-segmentation.js";
export { modalityTranslationTask } from "./modality-translation.js";
export { piradsClassificationTask } from "./pirads-classification.js";
export { regressionTask } from "./regression.js";
export { segmentationTask } from "./segmentation.js";
export { superResolutionTask } from "./super-resolution.js";
export { translationTask } from "./translation.js";
