"""What `--help` says, command by command."""

ABOUT = """\
Takes the face masks off people in video, on your own machine.

What it draws where a mask was is INVENTED by a neural network. Nothing hidden is recovered, and a
drawn face identifies nobody. Every output says so in its metadata.
"""

EXAMPLES = """\
examples:
  barefaced demo                          a look at what it does, on a portrait that may be shown
  barefaced run talk.mp4 -o bare.mp4      a video in, a video out, sound and subtitles kept
  barefaced run photo.jpg -o bare.jpg     a picture in, a picture out
  barefaced live --virtual-camera         a camera without the mask, for a meeting
  barefaced doctor                        what works on this machine, and how to get the rest

`barefaced COMMAND --help` explains a command. Exit codes: 0 done, 1 an error, 2 wrong usage,
3 done, but the input was damaged or cut off and not all of it is in the output, 130 Ctrl-C.
"""

RUN = """\
Finds the masked faces in every frame, draws a face where the mask was, and leaves every other pixel,
every time stamp, the sound, the subtitles, the chapters and the metadata as they were.

The drawn part of a face is INVENTED: a plausible face, not the one behind the mask.
"""

RUN_EXAMPLES = """\
examples:
  barefaced run talk.mp4 -o bare.mp4
  barefaced run talk.mp4 -o bare.mp4 --start 1:30 --end 1:45.5 --codec hevc --quality 24
  barefaced run a.mp4 b.mov photos/ 'clips/*.mkv' -o out/      several inputs go into a directory
  barefaced run talk.mp4 -o bare.mkv --codec ffv1              lossless: untouched pixels stay bit for bit
  barefaced run talk.mp4 -o bare.mp4 --report - --stats        the report as JSON on standard output
  barefaced run talk.mp4 -o bare.mp4 --config mine.toml        settings from a file, such as: detect-every = 3

Every setting is a flag here and, without its dashes, a line of the TOML file; a flag wins over the file.
Ctrl-C once ends the input and finishes the file; twice ends at once and leaves no file.
Exit codes: 0 done, 1 an error, 2 wrong usage, 3 the input was incomplete (the report says what is missing), 130 Ctrl-C.
"""

LIVE = """\
Takes a camera, takes the masks off, and shows the result as a virtual camera that meetings can choose,
in a window, or both. Frames stay in order; when the networks are too slow, the oldest are left out.

What is drawn is INVENTED: the others in the meeting do not see the person's own mouth. Tell them.
"""

LIVE_EXAMPLES = """\
examples:
  barefaced live --preview                                   the first camera, in a window
  barefaced live --virtual-camera                            the first camera, for a meeting
  barefaced live --camera /dev/video2 --size 1280x720 --camera-format mjpeg --virtual-camera /dev/video10
  barefaced live --input rtsp://door.local/stream --preview  a camera of the network
  barefaced live --input talk.mp4 --realtime --preview       a file, played as a camera would
  barefaced live --virtual-camera --delay 200                always 200 ms late: delay the microphone alike

Keys, in the terminal and in the window: p pause, b bypass (the camera as it is), s side by side, q quit.
A camera that is unplugged is waited for. docs/live.md leads to the set-up for each system.
Exit codes: 0 ended by q or at the end of the input, 1 an error, 2 wrong usage, 130 Ctrl-C.
"""

CAMERAS = """\
Lists the cameras of this machine: what --camera takes, what the system calls it, and the formats and
sizes that it can send as far as it tells. Exit code 1 when there is none.
"""

DEMO = """\
Draws a clip - a public-domain portrait, wearing a mask, moved, turned and zoomed, with beeps - runs it,
and leaves input.mp4, output.mp4, side-by-side.mp4 and before-after.png.

The face under the mask is INVENTED: compare it with the real portrait, and see that it is another.
"""

DOCTOR = """\
Looks at everything that a run needs and everything that it could use, and says for what is missing
how to get it. Exit code 0 when `barefaced run` will work, 1 when something that it needs is not there.
"""

ENGINES = """\
Lists what can run the networks (--engine NAME), loads the detector's network on each that is installed,
and says which device and precision it came up with. `auto` takes the first that works; nothing else
ever replaces what was asked for.
"""

BENCH = """\
Measures on this machine, with the demo's clip, one masked face, file to file.

  pipeline   frames per second at three sizes, beside decoding and encoding alone as the ceiling
  peers      the same clip through deface 1.5.0, which is installed in an environment of its own
"""
