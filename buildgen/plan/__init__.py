"""From a project to build.ninja: targets, edges and the commands they run."""
