"""A `.nii.gz` as a float32 array: nibabel and NumPy."""

from hash_fill import sample


class Nibabel:
    def __init__(self, options):
        import nibabel
        import numpy

        self.nibabel, self.numpy, self.path = nibabel, numpy, options["path"]

    def run(self):
        self.data = self.nibabel.load(self.path).get_fdata(dtype=self.numpy.float32)

    def answer(self):
        return sample(self.data.T)  # i runs fastest in the file


def reference(options):
    import nibabel
    import numpy

    return sample(nibabel.load(options["path"]).get_fdata(dtype=numpy.float64).T)


PEERS = {"reading": {"nibabel + NumPy": Nibabel}}
REFERENCES = {"reading": reference}
