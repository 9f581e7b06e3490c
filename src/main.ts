#!/usr/bin/env node
// The command line; the only file that may end the process. It checks the runtime before it loads anything else: on an
// older Node the imports below would end in a stack trace.
const NEEDED = [22, 19] as const;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `outband needs Node ${NEEDED.join('.')} or newer, this is ${process.version}; ` +
      'install it from https://nodejs.org, or use `npm start` in the repository, which brings its own\n',
  );
  process.exitCode = 1;
} else {
  const { enableCompileCache } = await import('node:module');
  // Half of a start is compiling; where nothing can be written, nothing is kept.
  enableCompileCache();
  const { runCommand } = await import('./command-line.ts');
  process.exitCode = await runCommand(process.argv.slice(2), process.exit);
}
