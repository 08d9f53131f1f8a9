CREATE TABLE IF NOT EXISTS test (
  build_commit TEXT,
  build_number INTEGER,
  cuda INTEGER,
  vulkan INTEGER,
  metal INTEGER,
  sycl INTEGER,
  rpc TEXT,
  gpu_blas INTEGER,
  blas INTEGER,
  cpu_info TEXT,
  gpu_info TEXT,
  model_filename TEXT,
  model_type TEXT,
  model_size INTEGER,
  model_n_params INTEGER,
  n_batch INTEGER,
  n_ubatch INTEGER,
  n_threads INTEGER,
  type_k TEXT,
  type_v TEXT,
  n_gpu_layers INTEGER,
  split_mode TEXT,
  main_gpu INTEGER,
  no_kv_offload INTEGER,
  flash_attn INTEGER,
  mla_attn INTEGER,
  attn_max_batch INTEGER,
  ser TEXT,
  reuse INTEGER,
  tensor_split TEXT,
  use_mmap INTEGER,
  embeddings INTEGER,
  repack INTEGER,
  mqkv INTEGER,
  muge INTEGER,
  defer_experts INTEGER,
  fused_moe INTEGER,
  grouped_er INTEGER,
  no_fused_up_gate INTEGER,
  use_thp INTEGER,
  no_ooae INTEGER,
  rcache INTEGER,
  sas INTEGER,
  max_gpu INTEGER,
  cuda_params TEXT,
  override_tensor TEXT,
  n_prompt INTEGER,
  n_gen INTEGER,
  test_time TEXT,
  avg_ns INTEGER,
  stddev_ns INTEGER,
  avg_ts REAL,
  stddev_ts REAL,
  test TEXT
);

INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '0', '2026-11-25T20:21:04Z', '312042452', '2714746', '51.277015', '0.446106', 'pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '0', '8', '2026-11-25T20:21:05Z', '408731129', '9472904', '19.578027', '0.453748', 'tg8');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '4', '2026-11-25T20:21:05Z', '221751127', '35166438', '18.267952', '2.897026', 'tg4@pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '0', '2026-11-25T20:21:07Z', '332722992', '15303704', '48.138971', '2.214168', 'pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '0', '8', '2026-11-25T20:21:08Z', '511147756', '23141268', '15.667108', '0.709299', 'tg8');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '4', '2026-11-25T20:21:09Z', '273913696', '75974300', '15.187334', '4.212448', 'tg4@pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '0', '2026-11-25T20:21:10Z', '302136331', '22958449', '53.109555', '4.035638', 'pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '0', '8', '2026-11-25T20:21:11Z', '436010670', '57339857', '18.508224', '2.434020', 'tg8');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '0', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '4', '2026-11-25T20:21:12Z', '205900993', '3286889', '19.429288', '0.310152', 'tg4@pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '0', '2026-11-25T20:21:13Z', '327299279', '10346872', '48.909362', '1.546166', 'pp16');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '0', '8', '2026-11-25T20:21:14Z', '513295151', '95029073', '15.857331', '2.935752', 'tg8');
INSERT INTO test (build_commit, build_number, cuda, vulkan, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, mla_attn, attn_max_batch, ser, reuse, tensor_split, use_mmap, embeddings, repack, mqkv, muge, defer_experts, fused_moe, grouped_er, no_fused_up_gate, use_thp, no_ooae, rcache, sas, max_gpu, cuda_params, override_tensor, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts, test) VALUES ('8337e4cd3', '4840', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '999', 'layer', '0', '0', '1', '3', '0', '-1,0', '1', '0.00', '1', '0', '0', '0', '0', '0', '1', '0', '0', '0', '0', '0', '0', '0', '', '', '16', '4', '2026-11-25T20:21:15Z', '210876996', '30970354', '19.175201', '2.816157', 'tg4@pp16');
