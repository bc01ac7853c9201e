"""The commands: their options and help. What they do stands in the modules beside this folder."""
