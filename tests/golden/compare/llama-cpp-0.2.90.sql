CREATE TABLE IF NOT EXISTS test (
  build_commit TEXT,
  build_number INTEGER,
  cuda INTEGER,
  vulkan INTEGER,
  kompute INTEGER,
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
  tensor_split TEXT,
  use_mmap INTEGER,
  embeddings INTEGER,
  n_prompt INTEGER,
  n_gen INTEGER,
  test_time TEXT,
  avg_ns INTEGER,
  stddev_ns INTEGER,
  avg_ts REAL,
  stddev_ts REAL
);

INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '16', '0', '2026-11-25T20:20:36Z', '623874020', '44181381', '25.710675', '1.820773');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '0', '8', '2026-11-25T20:20:38Z', '725343714', '123636621', '11.191838', '1.907676');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '16', '4', '2026-11-25T20:20:40Z', '1011612279', '99052877', '19.865651', '1.945162');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '16', '0', '2026-11-25T20:20:42Z', '682320818', '16925073', '23.456596', '0.581844');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '0', '8', '2026-11-25T20:20:45Z', '847808006', '268379857', '9.933826', '3.144626');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'f16', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '16', '4', '2026-11-25T20:20:46Z', '1004851628', '6028475', '19.903794', '0.119410');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '16', '0', '2026-11-25T20:20:49Z', '649681693', '124294905', '25.086554', '4.799475');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '0', '8', '2026-11-25T20:20:51Z', '720578626', '36732435', '11.116633', '0.566685');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '0', '0.00', '1', '0', '16', '4', '2026-11-25T20:20:53Z', '1037345221', '12389828', '19.281360', '0.230291');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '16', '0', '2026-11-25T20:20:56Z', '739489454', '63954718', '21.717770', '1.878261');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '0', '8', '2026-11-25T20:20:58Z', '760854602', '79856803', '10.572727', '1.109679');
INSERT INTO test (build_commit, build_number, cuda, vulkan, kompute, metal, sycl, rpc, gpu_blas, blas, cpu_info, gpu_info, model_filename, model_type, model_size, model_n_params, n_batch, n_ubatch, n_threads, type_k, type_v, n_gpu_layers, split_mode, main_gpu, no_kv_offload, flash_attn, tensor_split, use_mmap, embeddings, n_prompt, n_gen, test_time, avg_ns, stddev_ns, avg_ts, stddev_ts) VALUES ('unknown', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'AMD EPYC', '', 'model.gguf', 'llama ?B Q4_1', '126657792', '162826560', '2048', '512', '1', 'q8_0', 'f16', '99', 'layer', '0', '0', '1', '0.00', '1', '0', '16', '4', '2026-11-25T20:20:59Z', '1212404910', '87861152', '16.539569', '1.198598');
