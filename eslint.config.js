/** What the dashboard's JavaScript is held to, beside its types (tsconfig.json): `make lint`. */

import js from "@eslint/js";
import globals from "globals";

const MARKUP = "text from models, users and corpora is data: h() and fill() of lib/dom.js make text nodes";

export default [
  { files: ["frontend/**/*.js"], ...js.configs.recommended },
  {
    files: ["frontend/**/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" },
    rules: {
      "no-undef": "off", // these two the compiler knows better
      "no-unused-private-class-members": "off",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_$", ignoreRestSiblings: true }],
      "no-restricted-imports": ["error", { patterns: [{ regex: "^[a-z]+:|^//", message: "nothing comes from another host" }] }],
      "array-callback-return": "error",
      "default-case-last": "error",
      eqeqeq: "error",
      "grouped-accessor-pairs": "error",
      "no-caller": "error",
      "no-console": "error",
      "no-constructor-return": "error",
      "no-duplicate-imports": "error",
      "no-else-return": ["error", { allowElseIf: true }],
      "no-eval": "error",
      "no-extend-native": "error",
      "no-implied-eval": "error",
      "no-lonely-if": "error",
      "no-new-func": "error",
      "no-new-wrappers": "error",
      "no-promise-executor-return": "error",
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "setHTMLUnsafe"].map((property) => ({ property, message: MARKUP })),
        { object: "document", property: "write", message: MARKUP },
        { object: "Math", property: "pow", message: "write **" },
      ],
      "no-self-compare": "error",
      "no-sequences": "error",
      "no-template-curly-in-string": "error",
      "no-throw-literal": "error",
      "no-unmodified-loop-condition": "error",
      "no-unneeded-ternary": "error",
      "no-unreachable-loop": "error",
      "no-useless-call": "error",
      "no-useless-computed-key": "error",
      "no-useless-concat": "error",
      "no-useless-rename": "error",
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-arrow-callback": "error",
      "prefer-const": "error",
      "prefer-object-has-own": "error",
      "prefer-promise-reject-errors": "error",
      "prefer-rest-params": "error",
      "prefer-spread": "error",
      radix: "error",
    },
  },
  {
    files: ["frontend/lib/**/*.js"],
    rules: { "no-restricted-imports": ["error", { patterns: [{ regex: "^\\.\\./", message: "lib/ knows no elements and no pages" }] }] },
  },
  { files: ["frontend/lib/tokens.js"], rules: { "no-control-regex": "off" } }, // controls are what it looks for
];
