"""Every codec in every container that is made and read back; docs/reference/formats.md is made of it."""

DNXHR = {"profile": "dnxhr_lb"}


FAST = {"preset": "ultrafast"}


AV1 = {"preset": "8", "crf": "10"}


# name: encoder, pixel format, options, containers
FORMATS: dict[str, tuple[str, str, dict[str, str], tuple[str, ...]]] = {
    "H.264": ("libx264", "yuv420p", {"preset": "fast"}, ("mp4", "mov", "mkv", "ts", "avi")),
    "H.264 in fields": ("libx264", "yuv420p", {"x264-params": "interlaced=1:tff=1"}, ("mp4", "mov", "mkv", "ts")),
    "H.264 10 bit": ("libx264", "yuv422p10le", FAST, ("mp4", "mov", "mkv")),
    "HEVC": ("libx265", "yuv420p", {**FAST, "x265-params": "log-level=none"}, ("mp4", "mov", "mkv", "ts")),
    "HEVC 10 bit": ("libx265", "yuv420p10le", {**FAST, "x265-params": "log-level=none"}, ("mp4", "mov", "mkv")),
    "AV1": ("libsvtav1", "yuv420p", AV1, ("mp4", "mkv", "webm")),
    "VP9": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}, ("webm", "mkv", "mp4")),
    "ProRes": ("prores_ks", "yuv422p10le", {}, ("mov", "mkv")),
    "DNxHR": ("dnxhd", "yuv422p", DNXHR, ("mov", "mxf")),
    "MPEG-2": ("mpeg2video", "yuv420p", {}, ("ts", "mxf", "mkv", "avi")),
    "MJPEG": ("mjpeg", "yuvj420p", {}, ("avi", "mov", "mkv")),
}
