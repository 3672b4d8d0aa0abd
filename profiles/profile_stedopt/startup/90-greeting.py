"""Say what is there."""

print(f"microscope: {config.microscope.kind}, sample: {config.sample.name}")
print(f"catalogue:  {folder.path}")
print("run it:     RE(optimize(images=5))")
