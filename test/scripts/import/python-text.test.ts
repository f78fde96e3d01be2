import t from 'tap';
import { pythonToJson } from '../../../scripts/import/python-text.js';

t.test("Python's text as JSON, or not at all", (t) => {
  for (const [text, json] of [
    ['{}', '{}'],
    ["{'a': None, u'b': True, \"c\": False}", '{"a":null,"b":true,"c":false}'],
    ['(1, 2,)', '[1,2]'],
    ["{'a': [1, {'b': -2.50}],}", '{"a":[1,{"b":-2.50}]}'],
    ['1e-3', '1e-3'],
    ['1.', '1'],
    ['.5', '0.5'],
    ['-.5e+7', '-0.5e+7'],
    ['12L', '12'],
    ['12345678901234567890', '12345678901234567890'],
    ['1E5', '1E5'],
    ["'\\x41\\u00fc\\U0001f600\\n\\t\\\\\\'\"'", JSON.stringify('Aü😀\n\t\\\'"')],
    ["'\\d'", JSON.stringify('\\d')],
    ['"it\'s"', '"it\'s"'],
    ["'\\ud800'", '"\\ud800"'],
    ["{'__proto__': 1}", '{"__proto__":1}'],
  ] as const)
    t.equal(pythonToJson(text), json, text);
  for (const text of [
    '',
    '{',
    "{'a'}",
    "{'a': }",
    "{'a': 1",
    "{'a': 1}}",
    '{1: 2}',
    '{,}',
    '[,]',
    '[1 2]',
    'nan',
    'inf',
    '-inf',
    'NaN',
    'undefined',
    'Decimal(1)',
    "'",
    "'a",
    "'a\nb'",
    "'\\x4'",
    "'\\U00110000'",
    '007',
    '1.5L',
    '+1',
    '--1',
    '.',
    'e5',
    '-',
    "{'a': 1} x",
    '[1]]',
    `${'['.repeat(500)}${']'.repeat(500)}`,
  ])
    t.equal(pythonToJson(text), undefined, text.slice(0, 30));
  t.end();
});
