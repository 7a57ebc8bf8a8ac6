{ "targets": [{ "target_name": "transfer_limits", "type": "none", "actions": [{
  "action_name": "cmake", "inputs": ["CMakeLists.txt"], "outputs": ["build/Release/transfer_limits.node"],
  "action": ["node", "scripts/build-native.mjs"] }] }] }
