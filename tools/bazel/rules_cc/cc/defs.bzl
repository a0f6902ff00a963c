"""The part of rules_cc that Bazel 4.2.3 needs, bound to the native rules.

Debian's own rules_cc is made for a newer Bazel (it loads use_cpp_toolchain).
"""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_library = native.objc_library

def _nothing(_ctx):
    return []

compiler_flag = rule(implementation = _nothing)

def _no_flags(_ctx):
    return [platform_common.TemplateVariableInfo({"CC_FLAGS": ""})]

cc_flags_supplier = rule(implementation = _no_flags)
