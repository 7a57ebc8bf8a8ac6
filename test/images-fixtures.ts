/**
 * Small image files and what other readers make of them: nibabel 5 for NIfTI, SimpleITK 2 for the rest. All but the two
 * "written by hand" were written by those libraries, too.
 */
export interface ImageFixture {
  name: string;
  made: string;
  volume?: number;
  base64: string;
  /** [D, H, W] */
  shape: number[];
  /** The first four voxels, the last one, and the sum of all. */
  first: number[];
  last: number;
  sum: number;
  /** Patient position (LPS, mm) of the voxel i = 2, j = 1, k = 1. */
  position: number[];
}

export const imageFixtures: ImageFixture[] = [
  {
    name: "nifti2-big-endian-qform.nii",
    made: "nibabel: NIfTI-2, big-endian int16, qform only, left-handed, slope 0.5, intercept -3",
    base64:
      "AAACHG4rMgANChoKAAQAEAAAAAAAAAADAAAAAAAAAAQAAAAAAAAAAwAAAAAAAAACAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAABAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC/8AAAAAAAAD/3////////P+gAAAAAAABAB////////z/wAAAAAAAAP/AAAAAAAAA/8AAAAAAAAD/wAAAAAAAAAAAAAAAAAiA/4AAAAAAAAMAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAD+3de9WEU8EP8d171YRTwQ/0ZhzgIz7QkAkAAAAAAAAwDQAAAAAAABAPgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMgAlgC5v1SAUv83///AjkAjP59/Wj+4gDh/hH8hf/GAsr+mAJC/p0B8AKgAhb+cQ==",
    shape: [2, 3, 4],
    first: [397.0, 297.0, 368.0, -346.0],
    last: -202.5,
    sum: 437.0,
    position: [-10.798501164, 17.511448209, 26.574798418],
  },
  {
    name: "nifti1-uint64-sform-over-qform.nii.gz",
    made: "nibabel: NIfTI-1, uint64, sform of code 2 beside a different qform of code 3, gzip",
    base64:
      "H4sIAAAAAAACA4thZCAKMAMhCwMTAyMUogFWBzDVsJ+B4YA9A4MDCAOFGuxR8QZnCD04ADPQP9Xrd9tWr7e2m3O4x46BQcGRgWHBQQaGD47LT7225/jTYwfE+0Fu5vjDsz/kaan9sVWKQHUMDkA+iG0LFHOA+BUV5GkbguntUH4jlC6D0n+g9FkofR1KV0LpTVD6FpSeAqXDoLQslIZZ/BdKm0HpQih9CkprQOkGKD0PSs+B0r1o7uKG0gBRDpt7IAIAAA==",
    shape: [2, 4, 3],
    first: [183.0, 129.0, 118.0, 252.0],
    last: 11.0,
    sum: 3454.0,
    position: [-3.85816288, -2.016967148, 7.983032964],
  },
  {
    name: "oblique-float64.mha",
    made: "SimpleITK: MetaImage, float64, oblique",
    base64:
      "T2JqZWN0VHlwZSA9IEltYWdlCk5EaW1zID0gMwpCaW5hcnlEYXRhID0gVHJ1ZQpCaW5hcnlEYXRhQnl0ZU9yZGVyTVNCID0gRmFsc2UKQ29tcHJlc3NlZERhdGEgPSBGYWxzZQpUcmFuc2Zvcm1NYXRyaXggPSAwLjc4MTYzOTE3MzkwNzAyNDk4IDAuNTUwMTE3MjMwNzA0MzU4MzYgLTAuMjkzOTU3ODc4NDM4NTgwNTcgLTAuNDgyOTI5Mjg0MjE0MjEyMjIgMC44MzIwMzAxMzM3NzQ2MzQ2NCAwLjI3Mjk1NjMzODg4ODMxNDMzIDAuMzk0NzM5Nzk4MTczNzk5NzggLTAuMDcxMzkyNDk5NDE3ODc1ODcxIDAuOTE2MDE1MDY2ODg3MzE3MjYKT2Zmc2V0ID0gNSAtNiA3CkNlbnRlck9mUm90YXRpb24gPSAwIDAgMApBbmF0b21pY2FsT3JpZW50YXRpb24gPSBSQUkKRWxlbWVudFNwYWNpbmcgPSAxLjUgMC43NSAzCkRpbVNpemUgPSA0IDMgMgpFbGVtZW50VHlwZSA9IE1FVF9ET1VCTEUKRWxlbWVudERhdGFGaWxlID0gTE9DQUwK5u1Ua2sQxD+r5OVqWu3Hv4rqTupSIgTAfPZH4vg84b8SN6WsHdWovwslOlXRAb0/x5H0o297+L+P2Ad6gpPev6Z92D0HUO+/+9Vjov7h6b+4CL3VcPnwP5f3nfVS1+m/eWZNVq+moL9hYqr660zsP7YLktDarOK/NAhdvH+YvL8eHqPKYEe8P+KfgZoAVLA/289jI9SZ879WEGEX7X2zPxOz1qC9vfU/X+ArxxrB+L+KpHkfEIDrPz5EA0X8jb4/",
    shape: [2, 3, 4],
    first: [0.15675108662422516, -0.18693094462995438, -2.516759710820513, -0.5386928958466366],
    last: 0.11935402569658124,
    sum: -6.5903942761327405,
    position: [8.166939953, -3.939803206, 9.07088882],
  },
  {
    name: "oblique-float64.nrrd",
    made: "SimpleITK: NRRD, float64, oblique",
    base64:
      "TlJSRDAwMDQKIyBDb21wbGV0ZSBOUlJEIGZpbGUgZm9ybWF0IHNwZWNpZmljYXRpb24gYXQ6CiMgaHR0cDovL3RlZW0uc291cmNlZm9yZ2UubmV0L25ycmQvZm9ybWF0Lmh0bWwKdHlwZTogZG91YmxlCmRpbWVuc2lvbjogMwpzcGFjZTogbGVmdC1wb3N0ZXJpb3Itc3VwZXJpb3IKc2l6ZXM6IDQgMyAyCnNwYWNlIGRpcmVjdGlvbnM6ICgxLjE3MjQ1ODc2MDg2MDUzNzUsMC44MjUxNzU4NDYwNTY1Mzc0OSwtMC40NDA5MzY4MTc2NTc4NzA4NSkgKC0wLjM2MjE5Njk2MzE2MDY1OTE5LDAuNjI0MDIyNjAwMzMwOTc2MDEsMC4yMDQ3MTcyNTQxNjYyMzU3NikgKDEuMTg0MjE5Mzk0NTIxMzk5MiwtMC4yMTQxNzc0OTgyNTM2Mjc2MSwyLjc0ODA0NTIwMDY2MTk1MTgpCmtpbmRzOiBkb21haW4gZG9tYWluIGRvbWFpbgplbmRpYW46IGxpdHRsZQplbmNvZGluZzogcmF3CnNwYWNlIG9yaWdpbjogKDUsLTYsNykKCubtVGtrEMQ/q+Tlalrtx7+K6k7qUiIEwHz2R+L4POG/EjelrB3VqL8LJTpV0QG9P8eR9KNve/i/j9gHeoKT3r+mfdg9B1Dvv/vVY6L+4em/uAi91XD58D+X9531Utfpv3lmTVavpqC/YWKq+utM7D+2C5LQ2qzivzQIXbx/mLy/Hh6jymBHvD/in4GaAFSwP9vPYyPUmfO/VhBhF+19sz8Ts9agvb31P1/gK8cawfi/iqR5HxCA6z8+RANF/I2+Pw==",
    shape: [2, 3, 4],
    first: [0.15675108662422516, -0.18693094462995438, -2.516759710820513, -0.5386928958466366],
    last: 0.11935402569658124,
    sum: -6.5903942761327405,
    position: [8.166939953, -3.939803206, 9.07088882],
  },
  {
    name: "four-axes.mha",
    made: "SimpleITK: MetaImage of 4 axes, volume 1",
    volume: 1,
    base64:
      "T2JqZWN0VHlwZSA9IEltYWdlCk5EaW1zID0gNApCaW5hcnlEYXRhID0gVHJ1ZQpCaW5hcnlEYXRhQnl0ZU9yZGVyTVNCID0gRmFsc2UKQ29tcHJlc3NlZERhdGEgPSBGYWxzZQpUcmFuc2Zvcm1NYXRyaXggPSAxIDAgMCAwIDAgMSAwIDAgMCAwIDEgMCAwIDAgMCAxCk9mZnNldCA9IDAgMCAwIDAKQ2VudGVyT2ZSb3RhdGlvbiA9IDAgMCAwIDAKRWxlbWVudFNwYWNpbmcgPSAxIDEgMSAxCkRpbVNpemUgPSA0IDMgMiAzCkFuYXRvbWljYWxPcmllbnRhdGlvbiA9ID8/Pz8KRWxlbWVudFR5cGUgPSBNRVRfU0hPUlQKRWxlbWVudERhdGFGaWxlID0gTE9DQUwKFABCACEA5/8ZABEAuf+w/xwA6/8RAOD/zv/B/+r/OADu/+r/DQBWAOz/EAD1/xIA9v8YAAgAHwBSAMH/CwD1/+b/0f+v/+7/OgC3/+//VABRAMz/p/8eAKj/3P///0MAtv8dAAUAvf8+AD4A/P9QABMASABSAAwA2P/A/wsAyP8tAE0A0v8JAK7/xv/p/0UA",
    shape: [2, 3, 4],
    first: [-10.0, 24.0, 8.0, 31.0],
    last: 67.0,
    sum: -136.0,
    position: [2.0, 1.0, 1.0],
  },
  {
    name: "vector.nrrd",
    made: "SimpleITK: NRRD of vectors, component 2",
    volume: 2,
    base64:
      "TlJSRDAwMDQKIyBDb21wbGV0ZSBOUlJEIGZpbGUgZm9ybWF0IHNwZWNpZmljYXRpb24gYXQ6CiMgaHR0cDovL3RlZW0uc291cmNlZm9yZ2UubmV0L25ycmQvZm9ybWF0Lmh0bWwKdHlwZTogc2hvcnQKZGltZW5zaW9uOiA0CnNwYWNlOiBsZWZ0LXBvc3Rlcmlvci1zdXBlcmlvcgpzaXplczogMyA0IDMgMgpzcGFjZSBkaXJlY3Rpb25zOiBub25lICgxLDAsMCkgKDAsMSwwKSAoMCwwLDEpCmtpbmRzOiB2ZWN0b3IgZG9tYWluIGRvbWFpbiBkb21haW4KZW5kaWFuOiBsaXR0bGUKZW5jb2Rpbmc6IHJhdwpzcGFjZSBvcmlnaW46ICgwLDAsMCkKChQA9v+2/0IAGAAdACEACAAFAOf/HwC9/xkAUgA+ABEAwf8+ALn/CwD8/7D/9f9QABwA5v8TAOv/0f9IABEAr/9SAOD/7v8MAM7/OgDY/8H/t//A/+r/7/8LADgAVADI/+7/UQAtAOr/zP9NAA0Ap//S/1YAHgAJAOz/qP+u/xAA3P/G//X////p/xIAQwBFAA==",
    shape: [2, 3, 4],
    first: [-74.0, 29.0, 5.0, -67.0],
    last: 69.0,
    sum: 120.0,
    position: [2.0, 1.0, 1.0],
  },
  {
    name: "vector.mha",
    made: "SimpleITK: MetaImage of 3 channels, channel 2",
    volume: 2,
    base64:
      "T2JqZWN0VHlwZSA9IEltYWdlCk5EaW1zID0gMwpCaW5hcnlEYXRhID0gVHJ1ZQpCaW5hcnlEYXRhQnl0ZU9yZGVyTVNCID0gRmFsc2UKQ29tcHJlc3NlZERhdGEgPSBGYWxzZQpUcmFuc2Zvcm1NYXRyaXggPSAxIDAgMCAwIDEgMCAwIDAgMQpPZmZzZXQgPSAwIDAgMApDZW50ZXJPZlJvdGF0aW9uID0gMCAwIDAKQW5hdG9taWNhbE9yaWVudGF0aW9uID0gUkFJCkVsZW1lbnRTcGFjaW5nID0gMSAxIDEKRGltU2l6ZSA9IDQgMyAyCkVsZW1lbnROdW1iZXJPZkNoYW5uZWxzID0gMwpFbGVtZW50VHlwZSA9IE1FVF9TSE9SVApFbGVtZW50RGF0YUZpbGUgPSBMT0NBTAoUAPb/tv9CABgAHQAhAAgABQDn/x8Avf8ZAFIAPgARAMH/PgC5/wsA/P+w//X/UAAcAOb/EwDr/9H/SAARAK//UgDg/+7/DADO/zoA2P/B/7f/wP/q/+//CwA4AFQAyP/u/1EALQDq/8z/TQANAKf/0v9WAB4ACQDs/6j/rv8QANz/xv/1////6f8SAEMARQA=",
    shape: [2, 3, 4],
    first: [-74.0, 29.0, 5.0, -67.0],
    last: 69.0,
    sum: 120.0,
    position: [2.0, 1.0, 1.0],
  },
  {
    name: "ras-big-endian.nrrd",
    made: "Written by hand, read by SimpleITK: NRRD in RAS, big-endian, sheared",
    base64:
      "TlJSRDAwMDQKIyBhIGNvbW1lbnQKdHlwZTogdXNob3J0CmRpbWVuc2lvbjogMwpzcGFjZTogcmlnaHQtYW50ZXJpb3Itc3VwZXJpb3IKc2l6ZXM6IDQgMyAyCnNwYWNlIGRpcmVjdGlvbnM6ICgwLDIsMCkgKDEuNSwwLDApICgwLDAuNSwzKQpraW5kczogZG9tYWluIGRvbWFpbiBkb21haW4KZW5kaWFuOiBiaWcKZW5jb2Rpbmc6IHJhdwpzcGFjZSBvcmlnaW46ICgxMSwtMTIsMTMpCnJlbWFyazo9bm90aGluZwoKAAAAAQACAAMABAAFAAYABwAIAAkACgALAAwADQAOAA8AEAARABIAEwAUABUAFgAX",
    shape: [2, 3, 4],
    first: [0.0, 1.0, 2.0, 3.0],
    last: 23.0,
    sum: 276.0,
    position: [-12.5, 7.5, 16.0],
  },
  {
    name: "permuted-big-endian.mha",
    made: "Written by hand, read by SimpleITK: MetaImage, big-endian, permuted axes, a comment in Latin-1",
    base64:
      "T2JqZWN0VHlwZSA9IEltYWdlCk5EaW1zID0gMwpCaW5hcnlEYXRhID0gVHJ1ZQpCaW5hcnlEYXRhQnl0ZU9yZGVyTVNCID0gVHJ1ZQpUcmFuc2Zvcm1NYXRyaXggPSAwIDEgMCAtMSAwIDAgMCAwIDEKT2Zmc2V0ID0gMyA0IDUKRWxlbWVudFNwYWNpbmcgPSAxIDIgMwpEaW1TaXplID0gNCAzIDIKQ29tbWVudCA9IOkKRWxlbWVudFR5cGUgPSBNRVRfVVNIT1JUCkVsZW1lbnREYXRhRmlsZSA9IExPQ0FMCgAAAAEAAgADAAQABQAGAAcACAAJAAoACwAMAA0ADgAPABAAEQASABMAFAAVABYAFw==",
    shape: [2, 3, 4],
    first: [0.0, 1.0, 2.0, 3.0],
    last: 23.0,
    sum: 276.0,
    position: [1.0, 6.0, 8.0],
  },
];
