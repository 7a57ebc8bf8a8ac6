"""One side of `transfer-limits bench`: runs a peer's work when asked, and says how long it took.

Reads one JSON document a line on stdin, answers one a line on stdout; it stays alive between the runs, so that they
can alternate with the other side's and nobody's start-up is timed. Requests, each with "id":

  {"do": "prepare", "work": ..., "peer": ..., "options": {...}}   builds it, untimed; answers {"versions": {...}}
  {"do": "run", "peer": ...}                                       one timed run; answers {"seconds": ...}
  {"do": "answer", "peer": ...}                                    a sample of what the last run computed: {"values": [...]}
  {"do": "reference", "work": ..., "options": {...}}               the same, computed in float64, untimed

What cannot be done is answered with {"error": {"kind": ..., "message": ...}}; the process goes on.
"""

import importlib
import json
import os
import sys
import time

WORKS = {
    "mmd": "mmd",
    "depthwise": "depthwise",
    "ssim": "ssim",
    "convnext": "networks",
    "vit": "networks",
    "unetr": "networks",
    "unet-3d": "networks",
    "ddpm-unet": "networks",
    "reading": "reading",
    "echo": "echo",
}


def synchronise(options) -> None:
    if options.get("device", "cpu") != "cpu":
        import torch

        torch.cuda.synchronize()


class Session:
    def __init__(self):
        self.prepared = {}

    def handle(self, request):
        do = request["do"]
        if do == "prepare":
            module, options = self.module(request)
            peer = module.PEERS[request["work"]][request["peer"]](options)
            self.prepared[request["peer"]] = (peer, options)
            return {"versions": versions()}
        if do == "reference":
            module, options = self.module(request)
            return {"values": module.REFERENCES[request["work"]](options)}
        peer, options = self.prepared[request["peer"]]
        if do == "run":
            synchronise(options)
            start = time.perf_counter()
            peer.run()
            synchronise(options)
            return {"seconds": time.perf_counter() - start}
        if do == "answer":
            return {"values": peer.answer()}
        raise ValueError(f"expected prepare, run, answer or reference but received {do!r}")

    def module(self, request):
        options = request["options"]
        if "torch" in sys.modules or request["work"] not in ("reading", "echo"):
            import torch

            torch.set_num_threads(options["threads"])
        return importlib.import_module(WORKS[request["work"]]), options


def versions():
    names = ("torch", "numpy", "monai", "sklearn", "skimage", "nibabel", "pykeops")
    found = {name: getattr(sys.modules[name], "__version__", "?") for name in names if name in sys.modules}
    return {"python": sys.version.split()[0], **found}


def main():
    # Libraries print what they like on stdout; the answers go where they cannot reach.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = session.handle(request)
        except Exception as error:  # noqa: BLE001 - whatever a library throws becomes an answer
            answer = {"error": {"kind": type(error).__name__, "message": str(error)}}
        answers.write(json.dumps({"id": request["id"], **answer}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
