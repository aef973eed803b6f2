"""The least that a program with PyAV does: decode, encode, copy the sound. `python -m benchmarks.passthrough`."""

from __future__ import annotations

import sys

import av

from pipeline.video.codecs import DEFAULT_PRESET, KINDS, Codec

OPTIONS = {"preset": DEFAULT_PRESET, "crf": str(KINDS[Codec.H264].quality)}
"""The settings of x264 that barefaced takes unless it is told otherwise."""


def passed_through(source: str, target: str) -> None:
    """Encode every frame of the first video stream anew, and copy the packets of all sound."""
    with av.open(source) as film, av.open(target, "w") as copy:
        pictures, sounds = film.streams.video[0], film.streams.audio
        video = copy.add_stream("libx264", rate=pictures.average_rate, options=OPTIONS)
        video.width, video.height, video.pix_fmt = pictures.width, pictures.height, "yuv420p"
        copies = {sound.index: copy.add_stream_from_template(sound) for sound in sounds}

        for packet in film.demux(pictures, *sounds):
            if packet.stream.index in copies:
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    copy.mux(packet)
                continue
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    copy.mux(video.encode(frame))
        copy.mux(video.encode(None))


if __name__ == "__main__":
    passed_through(*sys.argv[1:])
