"""From recordings of a person to their own face: pictures are gathered and chosen, the generator is tuned and judged.

What comes out is written as `pipeline.people.enrolled` has it, and drawn with by a plain run.
"""
