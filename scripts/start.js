// `npm start`: on a Node that cannot run the sources it says what to do, instead of a stack trace.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 19)) await import('./start.ts');
else {
  process.stderr.write(
    `outband needs Node 22.19 or newer, this is ${process.version}. \`npm ci\` brings one along, unless install scripts were switched off ` +
      '(--ignore-scripts): run it with them, or install Node from https://nodejs.org\n',
  );
  process.exitCode = 1;
}
